"""Actions of the panel that ask before they act: in a dialog, or on a page of their own."""

from functools import wraps

from django.shortcuts import resolve_url
from django.template.response import TemplateResponse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm


def asks_first(words, form=BaseDialogForm, variant=ActionVariant.PRIMARY, **options):
    """Make a method an action that asks in Unfold's dialog before it acts. Without the script that
    opens the dialog, as in a new tab, it asks on a page: the dialog alone is a piece of one.
    """
    dialog = {
        "title": f"{words['title']}?",
        "description": words["consequence"],
        "form_submit_text": words["title"],
        "form_class": form,
    }

    def asking(act):
        in_a_dialog = action(dialog=dialog, variant=variant, **options)(act)

        @wraps(in_a_dialog)
        def asked(panel, request, **whom):
            response = in_a_dialog(panel, request, **whom)
            if "HX-Request" in request.headers:
                return response
            if to := response.headers.get("HX-Redirect"):  # Which only that script follows.
                response.status_code, response["Location"] = 302, to
                return response
            page = f"admin:{panel.opts.app_label}_{panel.opts.model_name}"
            question, back = dialog["title"], resolve_url(f"{page}_changelist")
            if object_id := whom.get("object_id"):
                question = f"{question} {panel.get_object(request, object_id)}"
                back = resolve_url(f"{page}_change", object_id)
            context = {
                **panel.admin_site.each_context(request),
                "title": words["title"],
                "opts": panel.opts,
                "question": question,
                "consequence": words["consequence"],
                "form": form(data=request.POST or None, request=request, **whom),
                "variant": variant.value,
                "back": back,
            }
            return TemplateResponse(request, "admin/asked.html", context)

        return asked

    return asking
