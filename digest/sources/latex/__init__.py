"""LaTeX, read: what it marks goes, what it says stays. The door is `prose.without_latex`."""
