"""Where style sheets and scripts are: with their hash in the name, so that browsers keep them."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFiles(CompressedManifestStaticFilesStorage):
    """Names as `collectstatic` has written them down, plain ones for what it hasn't collected."""

    def stored_name(self, name):
        try:
            return super().stored_name(name)
        except ValueError:  # No page may break over it: WhiteNoise finds the file all the same.
            return name
