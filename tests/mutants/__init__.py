"""Mistakes that are put into the package, one at a time, so that its tests show what they notice."""
