"""Training: ex situ on a computer, in situ on the chip."""
