"""WHEEL -> IMAGE: open a wheel, check it, and write its image: its files in their final form, in a staging tree."""
