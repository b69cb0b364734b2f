"""HOW IT CHANGES: stage, planner, plan, journal, commit, recovery. The one way in which a prefix is ever changed."""
