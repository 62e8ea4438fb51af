"""What is computed from all papers, stored, and loaded by the processes that rank."""
