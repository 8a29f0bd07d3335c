"""Measurements on tasks: probes, which look at a run now and then, and what they are made of."""
