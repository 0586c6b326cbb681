"""Fuzz targets: functions of some bytes that assert what has to hold for all bytes. `make fuzz` looks for those that break.

They import no fuzzer. `targets` has the table of them; `tests/fuzz/test_targets.py` puts the small corpus through each,
and what hypothesis makes up; `python -m tests.fuzz` has libFuzzer search, by atheris.
"""
