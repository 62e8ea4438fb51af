"""Export and import of topics in the admin, by django-import-export."""

from django import forms
from django.contrib import messages
from django.core import signing
from django.core.exceptions import SuspiciousOperation
from django.db import transaction
from django.shortcuts import redirect
from import_export.admin import ExportActionMixin, ImportMixin
from import_export.forms import ConfirmImportForm
from import_export.tmp_storages import BaseStorage
from tablib.exceptions import TablibException
from unfold.contrib.import_export.forms import ExportForm, ImportForm

from digest.topics import topic_files


class SignedStorage(BaseStorage):
    """Keeps the file between the two steps of an import in the form, signed.

    So any web process can do the second step, and no file is left behind.
    """

    def save(self, data):
        self.name = signing.dumps(data.decode("latin-1"), salt="import", compress=True)

    def read(self):
        try:
            return signing.loads(self.name, salt="import").encode("latin-1")
        except signing.BadSignature:
            raise SuspiciousOperation("This file has no preview. Upload it again.") from None

    def remove(self):
        pass


class FileForm(ImportForm):
    """Takes the format from the name of the file."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        del self.fields["format"]

    def clean_import_file(self):
        file = self.cleaned_data["import_file"]
        if file.size > topic_files.MAX_BYTES:
            raise forms.ValidationError(f"The file is larger than {topic_files.MAX_BYTES:,} bytes.")
        try:
            file_format = type(topic_files.format_of(file.name))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        self.cleaned_data["format"] = str(topic_files.FORMATS.index(file_format))
        return file


class ConfirmForm(ConfirmImportForm):
    format = forms.ChoiceField(
        choices=[(str(number), number) for number in range(len(topic_files.FORMATS))],
        widget=forms.HiddenInput,
    )
    resource = None


class TopicFilesMixin(ImportMixin, ExportActionMixin):
    resource_classes = [topic_files.TopicResource]
    formats = topic_files.FORMATS
    import_form_class = FileForm
    confirm_form_class = ConfirmForm
    export_form_class = ExportForm
    tmp_storage_class = SignedStorage
    import_export_change_list_template = "admin/import_export/change_list_import_export.html"
    show_change_form_export = False

    def has_import_permission(self, request):
        return self.has_add_permission(request) and self.has_change_permission(request)

    def has_export_permission(self, request):
        """Only curated topics are exported: offer nothing beside lists of others."""
        return request.GET.get("owner") != "readers" and self.has_view_permission(request)

    def get_valid_export_item_pks(self, request):
        return self.get_queryset(request).values_list("pk", flat=True)

    def get_import_data_kwargs(self, **kwargs):
        return super().get_import_data_kwargs(**kwargs) | {"rollback_on_validation_errors": True}

    def process_import(self, request, **kwargs):
        try:
            with transaction.atomic():  # Together with the audit log.
                return super().process_import(request, **kwargs)
        except (ValueError, LookupError, TablibException) as error:
            message = f"The file cannot be read in this format: {error}"
            self.message_user(request, message, messages.ERROR)
            return redirect("admin:subscriptions_topic_import")

    def process_result(self, result, request):
        if result.has_errors() or result.has_validation_errors():
            message = "Topics changed meanwhile, so nothing was imported. Try again."
            self.message_user(request, message, messages.ERROR)
            return redirect("admin:subscriptions_topic_import")
        return super().process_result(result, request)

    def add_data_read_fail_error_to_form(self, form, e):
        form.add_error("import_file", f"The file cannot be read: {e}")
