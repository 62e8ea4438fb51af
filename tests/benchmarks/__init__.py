"""How fast it is, measured by hand: uv run python -m tests.benchmarks.ranking"""
