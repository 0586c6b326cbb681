"""The index table and what it stands on: nothing here is public, nothing here does I/O."""
