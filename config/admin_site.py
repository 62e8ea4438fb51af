"""The admin site: Unfold's, whose search fails for a page of results that does not exist."""

from django.contrib.admin.apps import AdminConfig
from django.core.paginator import InvalidPage
from django.http import Http404
from unfold.sites import UnfoldAdminSite


class PanelConfig(AdminConfig):
    default_site = "config.admin_site.Panel"


class Panel(UnfoldAdminSite):
    def search(self, request, extra_context=None):
        try:
            return super().search(request, extra_context)
        except InvalidPage:
            raise Http404("There is no such page of results.") from None

    def autocomplete_view(self, request):
        raise Http404("There is no autocomplete here.")
