"""No module here has doctests, and two need mutmut, which `make mutants` installs."""

collect_ignore = ["making.py", "running.py"]
