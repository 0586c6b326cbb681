import sys, atheris
with atheris.instrument_imports(include=["bytebufs","tests.fuzz","examples"]):
    from tests.fuzz.framers import framers
import gc
gc.collect(); gc.freeze()
atheris.Setup(sys.argv, framers)
atheris.Fuzz()
