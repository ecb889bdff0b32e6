"""The scenarios of attack.py, one file for each kind of attack."""
