"""What every page of the panel holds to, whatever an address or a form asks of it.

Django and Unfold take more than they offer: any field of a model as a filter, by which one could
find out what no page shows, and numbers and days that are none, by which they break.
"""

import re

from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, SEARCH_VAR
from django.core.exceptions import ValidationError
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.forms import PaginationInlineFormSet

from subscriptions.races import once_more

#: A year, month or day that Django's hierarchy of dates can reckon with: it looks at the next, too.
PART_OF_A_DATE = re.compile(r"(?!9999)[0-9]{1,4}")
#: Longer than any title. SQLite refuses a query of a thousand words, or a word of 50,000 letters.
MAX_SEARCH_LENGTH = 400


class Page(ModelAdmin):
    """The base of all pages of the panel."""

    def lookup_allowed(self, lookup, value, request):
        """Let a list be asked by its filters alone, and its hierarchy of dates by dates."""
        if lookup in self._parts_of_dates() and not PART_OF_A_DATE.fullmatch(value):
            raise IncorrectLookupParameters
        return lookup in self.asked_by(request)

    def _parts_of_dates(self):
        return {f"{self.date_hierarchy}__{part}" for part in ("year", "month", "day")}

    def asked_by(self, request) -> set[str]:
        """Return the parameters that the list offers to be asked by."""
        told = self._parts_of_dates() if self.date_hierarchy else set()
        for one in self.get_list_filter(request):
            if isinstance(one, type):
                told.add(one.parameter_name)
                continue
            field, kind = one
            ends = ("_from", "_to") if issubclass(kind, RangeDateFilter) else ("__exact",)
            told |= {f"{field}{end}" for end in ends}
        return told

    def changelist_view(self, request, extra_context=None):
        """Show all where an address asked for what isn't there or for too much, and say so.

        Django leads such a one to the list as it is, and takes a second one for a broken database.
        """
        request.GET = request.GET.copy()
        if request.GET.pop(ERROR_FLAG, None):
            messages.warning(request, "What was asked for isn't in this list. It begins here.")
        if len(request.GET.get(SEARCH_VAR, "")) > MAX_SEARCH_LENGTH:
            del request.GET[SEARCH_VAR]
            said = f"Search for at most {MAX_SEARCH_LENGTH} characters. This list is not searched."
            messages.warning(request, said)
        return super().changelist_view(request, extra_context)

    def response_action(self, request, queryset, **kwargs):
        for number in request.POST.getlist(helpers.ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.clean(number, None)
            except ValidationError:
                said = "What was selected is no row of this list. Nothing was done."
                self.message_user(request, said, messages.ERROR)
                return None
        return super().response_action(request, queryset, **kwargs)

    def get_object(self, request, object_id, from_field=None):
        return super().get_object(request, object_id, from_field or None)  # It may be told empty.

    @once_more
    def changeform_view(self, request, *args, **kwargs):
        return super().changeform_view(request, *args, **kwargs)

    @once_more
    def delete_view(self, request, *args, **kwargs):
        return super().delete_view(request, *args, **kwargs)

    @once_more
    def delete_queryset(self, request, queryset):
        super().delete_queryset(request, queryset)


class PagedFormSet(PaginationInlineFormSet):
    """A table within a page, in pages of its own: one that isn't there is the first."""

    def get_page_num(self):
        try:
            return max(1, super().get_page_num())
        except ValueError:  # Of what is numeric, as ² is, Python doesn't take all for a number.
            return 1
