"""Which files are taken, and where they go: the panel's alone, and nowhere but into memory."""

from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadhandler import MemoryFileUploadHandler


class PanelFile(MemoryFileUploadHandler):
    """Takes a file that is sent to the panel. No public form has one; no file fills the disk."""

    def new_file(self, *args, **kwargs):
        if not self.request.path.startswith("/admin/"):
            raise TooManyFilesSent("No file is taken here.")
        super().new_file(*args, **kwargs)
