"""Tasks, one file each: an objective over a data set. `task.py` holds the contract."""
