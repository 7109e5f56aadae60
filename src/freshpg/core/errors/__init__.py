"""Every error freshpg raises on purpose.

::

    FreshpgError
    ├── ConfigurationError          FPG-C..  yours: settings, names, markers, URLs
    │   ├── SettingsInvalid         FPG-C01
    │   ├── NameInvalid             FPG-C02
    │   ├── UrlInvalid              FPG-C03
    │   ├── BlueprintInvalid        FPG-C04
    │   ├── IsolationUnknown        FPG-C05
    │   ├── NotYetAvailable         FPG-C06
    │   ├── UsageInvalid            FPG-C07
    │   ├── TableUnknown            FPG-C08
    │   ├── DjangoUnusable          FPG-C10
    │   └── DriverUnusable          FPG-C11
    ├── ServerError                 FPG-S..  infrastructure: servers
    │   ├── NoServer                FPG-S01
    │   ├── ServerUnreachable       FPG-S02
    │   ├── LoginRefused            FPG-S03
    │   ├── ServerTooOld            FPG-S04
    │   ├── CreateDatabaseRefused   FPG-S05
    │   ├── DiskFull                FPG-S06
    │   ├── ServerStartFailed       FPG-S07
    │   ├── ServerDied              FPG-S08
    │   ├── KeeperFailed            FPG-S09
    │   │   ├── KeeperRefused       FPG-S14
    │   │   └── KeeperGone          FPG-S15
    │   ├── PathUnusable            FPG-S10
    │   ├── TooManyConnections      FPG-S11
    │   ├── ImageInvalid            FPG-S12
    │   ├── StatementFailed         FPG-S13
    │   ├── RestartsExhausted       FPG-S16
    │   ├── EmergencyMode           FPG-S17
    │   └── SystemLimit             FPG-S18
    ├── TemplateError               FPG-T..  yours: migrations and seeds
    │   ├── MigrationFailed         FPG-T01
    │   ├── MigrationTimedOut       FPG-T02
    │   ├── MigrationMissing        FPG-T03
    │   ├── MigrationUnreadable     FPG-T04
    │   ├── MetaCommandRefused      FPG-T05
    │   ├── ExtensionMissing        FPG-T06
    │   ├── TemplateBusy            FPG-T07
    │   └── TemplateUnusable        FPG-T08
    ├── LeaseError                  FPG-L..
    │   ├── NoFreeSlot              FPG-L01
    │   ├── LeaseLost               FPG-L02
    │   └── LeaseClosed             FPG-L03
    ├── DatabaseError               FPG-D..
    │   ├── NotOurs                 FPG-D01
    │   ├── DatabaseBusy            FPG-D02
    │   ├── DatabaseGone            FPG-D03
    │   ├── WaitTimedOut            FPG-D04
    │   ├── TestUntidy              FPG-D05
    │   ├── NotProven               FPG-D06
    │   └── LeftBehind              FPG-D07
    ├── RollbackError               FPG-B..  yours: the one connection of isolation 'rollback'
    │   ├── RollbackCannot          FPG-B01
    │   ├── OuterTransactionEnded   FPG-B02
    │   ├── ConstraintBroken        FPG-B03
    │   ├── ConnectionNotAllowed    FPG-B04
    │   └── TurnTimedOut            FPG-B05
    ├── DataError                   FPG-R..  yours: rows that tests set up and verify
    │   ├── DataInvalid             FPG-R01
    │   ├── ParentsImpossible       FPG-R02
    │   └── DataInUse               FPG-R03
    └── TenantError                 FPG-P..  pools of tenants in an application
        ├── TenantLimitExceeded     FPG-P01
        │   └── TenantWaitTimeout   FPG-P02
        ├── TenantDatabaseMissing   FPG-P03
        ├── TenantServerDown        FPG-P04
        ├── TenantCredentialsRefused FPG-P05
        ├── TenantConnectFailed     FPG-P06
        ├── TenantPoolsClosed       FPG-P07
        ├── TenantHeld              FPG-P08
        ├── InvalidTenantName       FPG-P09
        ├── TenantLimitsInvalid     FPG-P10
        └── TenantConnectionsLeaked FPG-P11

The first line of a message is the code and a title that never changes; the title is a heading in
``docs/troubleshooting.md``. The rest says what failed, on what, what was seen and what to do.
"""

from freshpg.core.errors.base import (  # noqa: I001 (the order of the tree, which is that of all_errors)
    FreshpgError,
    Origin,
    all_errors,
)
from freshpg.core.errors.configuration import (
    BlueprintInvalid,
    ConfigurationError,
    DjangoUnusable,
    DriverUnusable,
    IsolationUnknown,
    NameInvalid,
    NotYetAvailable,
    SettingsInvalid,
    TableUnknown,
    UrlInvalid,
    UsageInvalid,
)
from freshpg.core.errors.servers import (
    CreateDatabaseRefused,
    DiskFull,
    EmergencyMode,
    ImageInvalid,
    KeeperFailed,
    KeeperGone,
    KeeperRefused,
    LoginRefused,
    NoServer,
    PathUnusable,
    RestartsExhausted,
    ServerDied,
    ServerError,
    ServerStartFailed,
    ServerTooOld,
    ServerUnreachable,
    StatementFailed,
    SystemLimit,
    TooManyConnections,
)
from freshpg.core.errors.databases import (
    ConnectionNotAllowed,
    ConstraintBroken,
    DataError,
    DataInUse,
    DataInvalid,
    DatabaseBusy,
    DatabaseError,
    DatabaseGone,
    ExtensionMissing,
    LeaseClosed,
    LeaseError,
    LeaseLost,
    LeftBehind,
    MetaCommandRefused,
    MigrationFailed,
    MigrationMissing,
    MigrationTimedOut,
    MigrationUnreadable,
    NoFreeSlot,
    NotOurs,
    NotProven,
    OuterTransactionEnded,
    ParentsImpossible,
    RollbackCannot,
    RollbackError,
    TemplateBusy,
    TemplateError,
    TemplateUnusable,
    TestUntidy,
    TurnTimedOut,
    WaitTimedOut,
)
from freshpg.core.errors.tenants import (
    InvalidTenantName,
    TenantConnectFailed,
    TenantConnectionsLeaked,
    TenantCredentialsRefused,
    TenantDatabaseMissing,
    TenantError,
    TenantHeld,
    TenantLimitExceeded,
    TenantLimitsInvalid,
    TenantPoolsClosed,
    TenantServerDown,
    TenantWaitTimeout,
)

__all__ = [
    "BlueprintInvalid",
    "ConfigurationError",
    "ConnectionNotAllowed",
    "ConstraintBroken",
    "CreateDatabaseRefused",
    "DataError",
    "DataInUse",
    "DataInvalid",
    "DatabaseBusy",
    "DatabaseError",
    "DatabaseGone",
    "DiskFull",
    "DjangoUnusable",
    "DriverUnusable",
    "EmergencyMode",
    "ExtensionMissing",
    "FreshpgError",
    "ImageInvalid",
    "InvalidTenantName",
    "IsolationUnknown",
    "KeeperFailed",
    "KeeperGone",
    "KeeperRefused",
    "LeaseClosed",
    "LeaseError",
    "LeaseLost",
    "LeftBehind",
    "LoginRefused",
    "MetaCommandRefused",
    "MigrationFailed",
    "MigrationMissing",
    "MigrationTimedOut",
    "MigrationUnreadable",
    "NameInvalid",
    "NoFreeSlot",
    "NoServer",
    "NotOurs",
    "NotProven",
    "NotYetAvailable",
    "Origin",
    "OuterTransactionEnded",
    "ParentsImpossible",
    "PathUnusable",
    "RestartsExhausted",
    "RollbackCannot",
    "RollbackError",
    "ServerDied",
    "ServerError",
    "ServerStartFailed",
    "ServerTooOld",
    "ServerUnreachable",
    "SettingsInvalid",
    "StatementFailed",
    "SystemLimit",
    "TableUnknown",
    "TemplateBusy",
    "TemplateError",
    "TemplateUnusable",
    "TenantConnectFailed",
    "TenantConnectionsLeaked",
    "TenantCredentialsRefused",
    "TenantDatabaseMissing",
    "TenantError",
    "TenantHeld",
    "TenantLimitExceeded",
    "TenantLimitsInvalid",
    "TenantPoolsClosed",
    "TenantServerDown",
    "TenantWaitTimeout",
    "TestUntidy",
    "TooManyConnections",
    "TurnTimedOut",
    "UrlInvalid",
    "UsageInvalid",
    "WaitTimedOut",
    "all_errors",
]

for _error in all_errors():
    # Tracebacks, logs and pickles name an error as it is imported, whichever file it stands in.
    _error.__module__ = __name__
