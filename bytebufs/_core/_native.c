/* What no Python can say, compiled or not: where memory begins; and to compare and search it where it lies.

   It knows buffers and numbers, and none of our classes. Where nothing is compiled, foreign.py does the same by ctypes,
   under the same names; a test holds both to the same answers.

   1. Memory is looked at only while it is held: that of a bytes object by whoever calls, any other by an export that is
      taken here, and given back before there is an answer. Offsets are held against its size.
   2. Numbers are taken first, and they are ints: nothing of the caller's runs once memory is held, but for exporting.
   3. The interpreter's lock is kept, however long a search takes, as bytes.find and == keep theirs. What is looked at
      may be a bytearray or a map that other threads write to; and the tables above count on nobody running while one of
      their entries is looked at.
   4. All of it is linear, but rfind, which looks at a byte up to m times for a needle of m bytes, as that of bytes does.
      So this is built where the C library's memmem is known to be linear: glibc and musl, which is to say Linux.
*/

#define PY_SSIZE_T_CLEAN
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem, memrchr */
#endif
#include <Python.h>

#include <string.h>

/* -- memory that is held ---------------------------------------------------------------------------------------- */

typedef struct {
    const char *begin;
    Py_ssize_t size;
    Py_buffer held; /* .obj is NULL where nothing has to be given back */
} Memory;

static int
hold(PyObject *of, Memory *memory)
{
    if (PyBytes_CheckExact(of)) {
        memory->begin = PyBytes_AS_STRING(of);
        memory->size = PyBytes_GET_SIZE(of);
        memory->held.obj = NULL;
        return 0;
    }
    if (PyObject_GetBuffer(of, &memory->held, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    memory->begin = memory->held.buf;
    memory->size = memory->held.len;
    return 0;
}

static void
give_back(Memory *memory)
{
    PyBuffer_Release(&memory->held); /* does nothing for NULL */
}

static int
hold_both(PyObject *x, Memory *of_x, PyObject *y, Memory *of_y)
{
    if (hold(x, of_x) < 0) {
        return -1;
    }
    if (hold(y, of_y) < 0) {
        give_back(of_x);
        return -1;
    }
    return 0;
}

/* -- arguments -------------------------------------------------------------------------------------------------- */

static int
is_number_of_arguments(const char *name, Py_ssize_t wanted, Py_ssize_t given)
{
    if (given == wanted) {
        return 1;
    }
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd", name, wanted, given);
    return 0;
}

/* A size or an offset, never negative; -1 with an exception set for anything else. */
static Py_ssize_t
offset_from(PyObject *number)
{
    Py_ssize_t offset = PyLong_AsSsize_t(number);
    if (offset >= 0) {
        return offset;
    }
    if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Format(PyExc_IndexError, "no memory has an offset of %S", number);
    }
    return -1;
}

static int
reaches(const Memory *memory, Py_ssize_t start, Py_ssize_t stop)
{
    if (start <= stop && stop <= memory->size) {
        return 1;
    }
    PyErr_Format(PyExc_IndexError, "[%zd:%zd] does not lie in %zd bytes", start, stop, memory->size);
    return 0;
}

/* -- buffers ---------------------------------------------------------------------------------------------------- */

static PyObject *
has_buffer(PyObject *Py_UNUSED(module), PyObject *obj)
{
    return PyBool_FromLong(PyObject_CheckBuffer(obj));
}

static PyObject *
exported(PyObject *Py_UNUSED(module), PyObject *obj)
{
    if (!PyObject_CheckBuffer(obj)) {
        Py_RETURN_NONE;
    }
    return PyMemoryView_FromObject(obj);
}

static PyObject *
is_flat(PyObject *Py_UNUSED(module), PyObject *view)
{
    Py_buffer held;
    if (PyObject_GetBuffer(view, &held, PyBUF_FULL_RO) < 0) {
        return NULL;
    }
    int flat = held.ndim == 1 && (held.format == NULL || strcmp(held.format, "B") == 0) &&
               PyBuffer_IsContiguous(&held, 'C');
    PyBuffer_Release(&held);
    return PyBool_FromLong(flat);
}

/* -- where it begins -------------------------------------------------------------------------------------------- */

static PyObject *
address_of(PyObject *Py_UNUSED(module), PyObject *obj)
{
    Memory memory;
    if (hold(obj, &memory) < 0) {
        return NULL;
    }
    PyObject *address = PyLong_FromVoidPtr((void *)memory.begin);
    give_back(&memory);
    return address;
}

static PyObject *
offset_in(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (!is_number_of_arguments("offset_in", 2, nargs)) {
        return NULL;
    }
    Memory piece, whole;
    if (hold_both(args[0], &piece, args[1], &whole) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_BufferError)) {
            return NULL;
        }
        PyErr_Clear(); /* it is strided */
        return PyLong_FromLong(-1);
    }
    /* As numbers: pointers into two objects have no order. */
    uintptr_t begin = (uintptr_t)piece.begin, first = (uintptr_t)whole.begin;
    Py_ssize_t offset = -1;
    if (piece.size <= whole.size && begin >= first && begin - first <= (size_t)(whole.size - piece.size)) {
        offset = (Py_ssize_t)(begin - first);
    }
    give_back(&whole);
    give_back(&piece);
    return PyLong_FromSsize_t(offset);
}

static PyObject *
place_of(PyObject *Py_UNUSED(module), PyObject *view)
{
    Py_INCREF(view);
    return view;
}

/* -- comparing and searching ------------------------------------------------------------------------------------ */

static PyObject *
same(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (!is_number_of_arguments("same", 5, nargs)) {
        return NULL;
    }
    Py_ssize_t x_at, y_at, size;
    if ((x_at = offset_from(args[1])) < 0 || (y_at = offset_from(args[3])) < 0 || (size = offset_from(args[4])) < 0) {
        return NULL;
    }
    Memory x, y;
    if (hold_both(args[0], &x, args[2], &y) < 0) {
        return NULL;
    }
    int answer = -1;
    if (size > PY_SSIZE_T_MAX - (x_at > y_at ? x_at : y_at)) {
        PyErr_Format(PyExc_IndexError, "no memory has %zd bytes", size);
    }
    else if (reaches(&x, x_at, x_at + size) && reaches(&y, y_at, y_at + size)) {
        answer = size == 0 || memcmp(x.begin + x_at, y.begin + y_at, (size_t)size) == 0;
    }
    give_back(&y);
    give_back(&x);
    return answer < 0 ? NULL : PyBool_FromLong(answer);
}

typedef Py_ssize_t (*Search)(const char *begin, Py_ssize_t size, const char *needle, Py_ssize_t m);

/* Both: m is at least 1, and at most size. */

static Py_ssize_t
first_match(const char *begin, Py_ssize_t size, const char *needle, Py_ssize_t m)
{
    const char *found = m == 1 ? memchr(begin, (unsigned char)needle[0], (size_t)size)
                               : memmem(begin, (size_t)size, needle, (size_t)m);
    return found == NULL ? -1 : found - begin;
}

/* A set of bytes, with false members: one bit for all that agree in their last six. */
#define BIT(byte) ((uint64_t)1 << ((unsigned char)(byte)&63))

/* As rfind of bytes does it: from the last place on down, past m places at once where the byte in front of a place is
   none of the needle's, and else, behind a near miss, to where its first byte is the next time. */
static Py_ssize_t
last_match(const char *begin, Py_ssize_t size, const char *needle, Py_ssize_t m)
{
    if (m == 1) {
        const char *found = memrchr(begin, (unsigned char)needle[0], (size_t)size);
        return found == NULL ? -1 : found - begin;
    }
    uint64_t held = BIT(needle[0]);
    Py_ssize_t skip = m - 1;
    for (Py_ssize_t i = m - 1; i > 0; i--) {
        held |= BIT(needle[i]);
        if (needle[i] == needle[0]) {
            skip = i - 1;
        }
    }
    for (Py_ssize_t at = size - m; at >= 0; at--) {
        int near = begin[at] == needle[0];
        if (near) {
            Py_ssize_t i = m - 1;
            while (i > 0 && begin[at + i] == needle[i]) {
                i--;
            }
            if (i == 0) {
                return at;
            }
        }
        if (at > 0 && !(held & BIT(begin[at - 1]))) {
            at -= m;
        }
        else if (near) {
            at -= skip;
        }
    }
    return -1;
}

static PyObject *
searched(const char *name, Search search, int from_behind, PyObject *const *args, Py_ssize_t nargs)
{
    if (!is_number_of_arguments(name, 4, nargs)) {
        return NULL;
    }
    Py_ssize_t start, stop;
    if ((start = offset_from(args[2])) < 0 || (stop = offset_from(args[3])) < 0) {
        return NULL;
    }
    Memory memory, needle;
    if (hold_both(args[0], &memory, args[1], &needle) < 0) {
        return NULL;
    }
    Py_ssize_t at = -2;
    if (reaches(&memory, start, stop)) {
        if (needle.size == 0) {
            at = from_behind ? stop : start;
        }
        else if (needle.size > stop - start) {
            at = -1;
        }
        else {
            at = search(memory.begin + start, stop - start, needle.begin, needle.size);
            at = at < 0 ? -1 : at + start;
        }
    }
    give_back(&needle);
    give_back(&memory);
    return at < -1 ? NULL : PyLong_FromSsize_t(at);
}

static PyObject *
find(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return searched("find", first_match, 0, args, nargs);
}

static PyObject *
rfind(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return searched("rfind", last_match, 1, args, nargs);
}

/* -- the module ------------------------------------------------------------------------------------------------- */

#define FAST(function) {#function, (PyCFunction)(void (*)(void))function, METH_FASTCALL, NULL}
#define ONE(function) {#function, function, METH_O, NULL}

static PyMethodDef functions[] = {
    ONE(address_of), ONE(exported), ONE(has_buffer), ONE(is_flat), ONE(place_of),
    FAST(find), FAST(offset_in), FAST(rfind), FAST(same),
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_USED}, /* rule 3 */
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
