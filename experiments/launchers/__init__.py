"""What can run the jobs of a multirun beside each other, one file each."""
