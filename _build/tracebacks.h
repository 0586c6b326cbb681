/* What tracebacks cost where errors pass through compiled functions: a message that is not whole yet is an error on its
   way to whoever waits for it, once a message.

   1. An EOFError, which is what an Underrun is, shows no lines of ours, as that of a function of C shows none.
   2. Any other shows them, and the code object that a traceback has for a line is made once. mypyc makes one anew each
      time, which is most of what a line costs: three of four hundred nanoseconds. They never change, so one will do. A
      line whose place is taken has its own made anew: what is kept is never let go of, which could run a finalizer while
      an error is on its way.

   This stands in the place of mypyc's own exc_ops.c, which it includes.
*/

enum { KEPT = 4096 }; /* some times the lines that errors pass through */

static struct {
    const char *filename; /* both are literals: where they lie tells which they are */
    const char *funcname;
    int line;
    PyCodeObject *code;
} kept[KEPT];

static PyCodeObject *
code_of_line(const char *filename, const char *funcname, int line)
{
    size_t i = ((size_t)funcname / 8 + (size_t)line * 37) % KEPT;
    if (kept[i].funcname == funcname && kept[i].filename == filename && kept[i].line == line) {
        Py_INCREF(kept[i].code);
        return kept[i].code;
    }
    PyCodeObject *code = PyCode_NewEmpty(filename, funcname, line);
    if (code != NULL && kept[i].code == NULL) {
        Py_INCREF(code);
        kept[i].filename = filename;
        kept[i].funcname = funcname;
        kept[i].line = line;
        kept[i].code = code;
    }
    return code;
}

#define PyCode_NewEmpty code_of_line
#define CPy_AddTraceback add_line
void CPy_AddTraceback(const char *filename, const char *funcname, int line, PyObject *globals);
#include <exc_ops.c>
#undef CPy_AddTraceback
#undef PyCode_NewEmpty

void
CPy_AddTraceback(const char *filename, const char *funcname, int line, PyObject *globals)
{
    if (!PyErr_ExceptionMatches(PyExc_EOFError)) {
        add_line(filename, funcname, line, globals);
    }
}
