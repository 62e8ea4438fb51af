"""What may die, dies: real workers, a database, a broker and a mail server of our own, and faults.

Each case runs to rest. Then the invariants are checked (invariants.py). The cases are those of a
list of faults (docs/reliability.md): test_*.py here, the long ones under the mark `nightly`.
"""
