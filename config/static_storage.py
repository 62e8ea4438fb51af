"""Static files with a hash in their name, so that browsers can cache them for ever."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFiles(CompressedManifestStaticFilesStorage):
    """Falls back to the plain name for a file that `collectstatic` has not collected."""

    def stored_name(self, name):
        try:
            return super().stored_name(name)
        except ValueError:  # WhiteNoise finds the file all the same.
            return name
