"""TRANSACTIONS: stage, plan, journal, commit, recovery. Every change of a prefix is made by this package."""
