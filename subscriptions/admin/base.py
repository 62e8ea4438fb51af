"""The base of all admin pages, which refuses parameters that no page offers.

Django and Unfold accept any field of a model as a filter, which would reveal what no page
shows, and fail on malformed numbers and dates.
"""

import re

from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, SEARCH_VAR
from django.core.exceptions import ValidationError
from django.db import connection
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.forms import PaginationInlineFormSet

from subscriptions.db import retry_on_integrity_error

#: A year, month or day for Django's date hierarchy, which also computes the next one.
DATE_PART = re.compile(r"(?!9999)[0-9]{1,4}")
#: Longer than any title. SQLite refuses a thousand words, or a word of 50,000 letters.
MAX_SEARCH_LENGTH = 400


def inviter(user) -> str:
    """Return how an invitation names an account: by the person, if it knows their name."""
    return (user.get_full_name() or user.get_username())[:150]


class BaseModelAdmin(ModelAdmin):
    def lookup_allowed(self, lookup, value, request):
        """Allow the parameters of the list's filters, and dates for its date hierarchy."""
        if lookup in self._date_parameters() and not DATE_PART.fullmatch(value):
            raise IncorrectLookupParameters
        return lookup in self.allowed_parameters(request)

    def _date_parameters(self):
        return {f"{self.date_hierarchy}__{part}" for part in ("year", "month", "day")}

    def allowed_parameters(self, request) -> set[str]:
        parameters = self._date_parameters() if self.date_hierarchy else set()
        for list_filter in self.get_list_filter(request):
            if isinstance(list_filter, type):
                parameters.add(list_filter.parameter_name)
                continue
            field, kind = list_filter
            suffixes = ("_from", "_to") if issubclass(kind, RangeDateFilter) else ("__exact",)
            parameters |= {f"{field}{suffix}" for suffix in suffixes}
        return parameters

    def render_page(self, request, template="admin/confirm.html", **context):
        """Return a page of our own, with the panel's header and menu."""
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, template, context)

    def changelist_view(self, request, extra_context=None):
        """Show the whole list, with a warning, if the parameters are wrong or too long.

        Django redirects them to the plain list, and after a second one says that the database is
        broken.
        """
        request.GET = request.GET.copy()
        if request.GET.pop(ERROR_FLAG, None):
            messages.warning(request, "Unknown filter. The whole list is shown.")
        if len(request.GET.get(SEARCH_VAR, "")) > MAX_SEARCH_LENGTH:
            del request.GET[SEARCH_VAR]
            text = f"Search for at most {MAX_SEARCH_LENGTH} characters. The whole list is shown."
            messages.warning(request, text)
        return super().changelist_view(request, extra_context)

    def response_action(self, request, queryset, **kwargs):
        for pk in request.POST.getlist(helpers.ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.clean(pk, None)
            except ValidationError:
                text = "The selected row does not exist. Nothing was done."
                self.message_user(request, text, messages.ERROR)
                return None
        return super().response_action(request, queryset, **kwargs)

    def get_object(self, request, object_id, from_field=None):
        # The request may have an empty `from_field`.
        return super().get_object(request, object_id, from_field or None)

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


class PagedFormSet(PaginationInlineFormSet):
    """A paginated inline. A page that does not exist is the first."""

    def get_page_num(self):
        try:
            return max(1, super().get_page_num())
        except ValueError:  # Not every numeric character is a digit: ².
            return 1
