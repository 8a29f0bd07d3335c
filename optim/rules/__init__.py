"""Update rules, one file each. A rule is chosen by the name of its file."""
