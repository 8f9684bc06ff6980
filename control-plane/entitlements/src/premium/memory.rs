//! Grants in memory, for tests and for programs that need no more.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{
    BoxFuture, Premium, PremiumClaims, PremiumGrant, PremiumStatus, PremiumUser, ProviderError,
};

/// Keeps grants for as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryPremium {
    grants: RwLock<BTreeMap<String, PremiumGrant>>,
}

impl MemoryPremium {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, PremiumGrant>> {
        self.grants.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, PremiumGrant>> {
        self.grants.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PremiumStatus for MemoryPremium {
    fn status<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Premium> {
        Box::pin(async move { Premium::known(Ok(self.read().get(user).cloned())) })
    }
}

impl PremiumClaims for MemoryPremium {
    fn list(&self) -> BoxFuture<'_, Result<Vec<PremiumUser>, ProviderError>> {
        Box::pin(async move {
            let grants = self.read();
            let users = grants.iter().map(|(user, grant)| PremiumUser {
                user: user.clone(),
                grant: grant.clone(),
            });
            Ok(users.collect())
        })
    }

    fn grant<'a>(
        &'a self,
        user: &'a str,
        grant: PremiumGrant,
    ) -> BoxFuture<'a, Result<Premium, ProviderError>> {
        Box::pin(async move {
            if user.is_empty() {
                return Err(ProviderError("a user has a name".to_owned()));
            }
            self.write().insert(user.to_owned(), grant.clone());
            Ok(Premium::Yes(grant))
        })
    }

    fn revoke<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            self.write().remove(user);
            Ok(())
        })
    }
}
