"""The runner: configs become runs, runs become jobs, jobs become rows, rows become figures and verdicts."""
