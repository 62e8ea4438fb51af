"""The base of all admin pages."""

from django.db import connection
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin

from subscriptions.db import retry_on_integrity_error


def inviter(user) -> str:
    """Return how an invitation names an account: by the person, if it knows their name."""
    return (user.get_full_name() or user.get_username())[:150]


class BaseModelAdmin(ModelAdmin):
    list_per_page = 50
    show_full_result_count = False

    def get_changelist_instance(self, request):
        """Let only a filtered list say how many results it has, with a link that shows all."""
        changelist = super().get_changelist_instance(request)
        if not (changelist.has_active_filters or changelist.query):
            changelist.full_result_count = changelist.result_count
        return changelist

    def render_page(self, request, template="admin/confirm.html", **context):
        """Return a page of our own, with the panel's header and menu."""
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, template, context)

    changeform_view = retry_on_integrity_error(ModelAdmin.changeform_view)
    delete_view = retry_on_integrity_error(ModelAdmin.delete_view)
    delete_queryset = retry_on_integrity_error(ModelAdmin.delete_queryset)


class LockingMixin:
    """Locks the row while its page is saved, so that concurrent changes wait."""

    def get_object(self, request, object_id, from_field=None):
        instance = super().get_object(request, object_id, from_field)
        if instance is None or request.method != "POST" or not connection.in_atomic_block:
            return instance
        list(self.model._base_manager.select_for_update().filter(pk=instance.pk).values_list("pk"))
        return super().get_object(request, object_id, from_field)
