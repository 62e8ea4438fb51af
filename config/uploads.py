"""Uploads: only the admin takes files, and keeps them in memory."""

from io import BytesIO

from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError


class FormParser(MultiPartParser):
    """Refuses parts whose headers have a parameter as RFC 2231 encodes it (`name*=charset''…`).

    Django looks up each charset named there: one form can name 40,000, and Python keeps every
    unknown name for good. RFC 7578 (4.2) forbids these parameters in forms. Python also parses them
    with odd blanks and continuations, so any asterisk in a header is refused.
    """

    def __init__(self, META, input_data, upload_handlers, encoding=None):
        body = input_data.read()  # refuse_unreadable limits its size.
        super().__init__(META, BytesIO(body), upload_handlers, encoding)
        for part in body.split(b"--" + self._boundary):
            if b"*" in part.partition(b"\r\n\r\n")[0]:
                raise MultiPartParserError("A part's header names a charset.")


class PanelFile(MemoryFileUploadHandler):
    """Accepts files only in the admin, and never on disk."""

    def new_file(self, *args, **kwargs):
        if not self.request.path.startswith("/admin/"):
            raise TooManyFilesSent("No file is taken here.")
        super().new_file(*args, **kwargs)
