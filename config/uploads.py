"""Which files are taken, and where they go: the panel's alone, and nowhere but into memory."""

from io import BytesIO

from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError


class FormParser(MultiPartParser):
    """Refuses parts whose headers hold a parameter as RFC 2231 encodes it (`name*=charset''…`).

    Django looks up each charset that is named there: one form can name 40,000, and Python keeps
    every unknown name for good. RFC 7578 (4.2) forbids these parameters in forms. Python reads them
    with odd blanks and continuations as well, so that no header may hold an asterisk at all.
    """

    def __init__(self, META, input_data, upload_handlers, encoding=None):
        body = input_data.read()  # At most DATA_UPLOAD_MAX_MEMORY_SIZE: only_readable sees to it.
        super().__init__(META, BytesIO(body), upload_handlers, encoding)
        for part in body.split(b"--" + self._boundary):
            if b"*" in part.partition(b"\r\n\r\n")[0]:
                raise MultiPartParserError("A part's header names a charset.")


class PanelFile(MemoryFileUploadHandler):
    """Takes a file that is sent to the panel. No public form has one; no file fills the disk."""

    def new_file(self, *args, **kwargs):
        if not self.request.path.startswith("/admin/"):
            raise TooManyFilesSent("No file is taken here.")
        super().new_file(*args, **kwargs)
