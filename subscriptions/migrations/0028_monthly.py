from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("subscriptions", "0027_apprise"),
    ]

    operations = [
        migrations.AddField(
            model_name="subscriber",
            name="is_monthly",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="On the first of the delivery days in a month.",
                verbose_name="once a month",
            ),
        ),
    ]
