"""The launchers that plan a whole sweep before its first member begins."""

PLANNING = ("vectorized", "ray")
