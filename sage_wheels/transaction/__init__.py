"""HOW IT CHANGES: stage, plan, journal, commit, recovery. The one way in which a prefix is ever changed."""
