"""Admin actions that ask for confirmation: in Unfold's dialog, or on a page of their own."""

from functools import wraps

from django.shortcuts import resolve_url
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm


def confirm_first(
    title, consequence, form=BaseDialogForm, variant=ActionVariant.PRIMARY, **options
):
    """Decorate a method as an action that asks in Unfold's dialog.

    Without the script that opens the dialog, as in a new tab, the action asks on a page.
    """
    dialog = {
        "title": f"{title}?",
        "description": consequence,
        "form_submit_text": title,
        "form_class": form,
        "variant": variant.value,
    }

    def decorate(method):
        dialog_action = action(description=title, dialog=dialog, variant=variant, **options)(method)

        @wraps(dialog_action)
        def confirm_or_run(panel, request, **ids):
            response = dialog_action(panel, request, **ids)
            if "HX-Request" in request.headers:
                return response
            if url := response.headers.get("HX-Redirect"):  # Only the script follows this.
                response.status_code, response["Location"] = 302, url
                return response
            url_prefix = f"admin:{panel.opts.app_label}_{panel.opts.model_name}"
            question, back_url = dialog["title"], resolve_url(f"{url_prefix}_changelist")
            if object_id := ids.get("object_id"):
                question = f"{question} {panel.get_object(request, object_id)}"
                back_url = resolve_url(f"{url_prefix}_change", object_id)
            return panel.render_page(
                request,
                title=title,
                question=question,
                consequence=consequence,
                form=form(data=request.POST or None, request=request, **ids),
                variant=variant.value,
                back=back_url,
            )

        return confirm_or_run

    return decorate
