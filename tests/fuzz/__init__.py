"""Fuzz targets: functions of some bytes that assert what holds for all bytes. `make fuzz` looks for what breaks them.

They import no fuzzer. `targets` has the table of them; `tests/fuzz/test_targets.py` puts the small corpus through each,
and what hypothesis makes up; `python -m tests.fuzz` has libFuzzer search, by atheris.
"""
