from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("subscriptions", "0016_a_sign_up_begins"),
    ]

    operations = [
        migrations.AddField(
            model_name="subscriber",
            name="wants_near",
            field=models.BooleanField(
                "wants near misses",
                default=False,
                db_default=False,
                help_text="Up to three papers close to her interests, where a digest has room.",
            ),
        ),
    ]
