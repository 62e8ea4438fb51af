"""Volleys: what becomes of thirty letters of one round when one of them, the mail server, the
database or a person does something else than usual.
"""
