"""What the paper claims, one file for each claim."""

from experiments.claims import collect

CLAIMS = collect(__path__, __name__)
