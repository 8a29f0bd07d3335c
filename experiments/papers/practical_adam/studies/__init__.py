"""The studies of this paper, one file each: what is run, and the figure that shows it."""
