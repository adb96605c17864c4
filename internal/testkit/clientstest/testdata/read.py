"""Reads the mirror with the generated models for SQLAlchemy."""

import json
import os

from sqlalchemy import Column, ForeignKey, MetaData, Table, Text, create_engine
from sqlalchemy.orm import Session

from capydb_auth import AuthActiveUser, AuthBase, AuthUser

own = MetaData()
Table("orders", own, Column("id", Text, primary_key=True), Column("owner_id", Text, ForeignKey(AuthUser.id)))

engine = create_engine(os.environ["DATABASE_URL"])
own.create_all(engine)
with Session(engine) as session:
    user = session.get(AuthUser, "user_1")
    print(json.dumps({
        "memberships": sorted(
            [m.organization_id, m.organization.name if m.organization else None, m.roles] for m in user.memberships
        ),
        "sessions": [s.user.email for s in user.sessions],
        "raw": user.raw,
        "active": [u.id for u in session.query(AuthActiveUser)],
        "rows": {t.name: session.query(t).count() for t in AuthBase.metadata.sorted_tables},
    }))
