"""Calibrations of the roofline, kept by content hash."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calibration",
        sa.Column("id", sa.Text(), nullable=False, comment="Content hash of the record."),
        sa.Column(
            "device",
            sa.Text(),
            nullable=False,
            comment="Device, as the catalogue names it, or the machine's own.",
        ),
        sa.Column("recipe", sa.Text(), nullable=False, comment="`single-stream` or `server`."),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="Version of the recipes."),
        sa.Column("n_rows", sa.BigInteger(), nullable=False, comment="Rows it learned from."),
        sa.Column(
            "n_models",
            sa.BigInteger(),
            nullable=False,
            comment="Models among them, held out one at a time.",
        ),
        sa.Column(
            "mean_error",
            sa.Float(precision=53),
            nullable=False,
            comment="Mean over models of the held-out error of time.",
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="Where the rows come from."),
        sa.Column(
            "record", sa.JSON(), nullable=False, comment="Parameters, errors and spreads, whole."
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibration")),
        comment="Derived, kept: a roofline calibrated on rows of a device.",
    )
