"""What people type or paste into the interests box, read into entries. Pure: no Django."""
