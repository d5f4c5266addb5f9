"""How Argo CD treats a rendered object: the phase in which it applies it, and when it deletes it.

https://github.com/argoproj/gitops-engine/tree/5baed56/pkg/sync: `hook/hook.go` (`IsHook`, `Types`),
`hook/delete_policy.go`, `hook/helm/` (what Helm's annotations mean), and `sync_tasks.go` (`Less`).
"""

from dataclasses import dataclass

from tests.deploy.manifests import Document

HOOK = "argocd.argoproj.io/hook"
DELETE_POLICY = "argocd.argoproj.io/hook-delete-policy"
SYNC_OPTIONS = "argocd.argoproj.io/sync-options"
HELM_HOOK = "helm.sh/hook"
HELM_DELETE_POLICY = "helm.sh/hook-delete-policy"

SYNC = "Sync"
#: Phases in their order.
PHASES = ("PreSync", SYNC, "PostSync", "SyncFail")
#: Argo CD neither runs nor applies Helm's other hooks.
_HELM_PHASES = {
    "pre-install": "PreSync",
    "pre-upgrade": "PreSync",
    "post-install": "PostSync",
    "post-upgrade": "PostSync",
}
_HELM_DELETE_POLICIES = {
    "before-hook-creation": "BeforeHookCreation",
    "hook-succeeded": "HookSucceeded",
    "hook-failed": "HookFailed",
}


#: By default a hook is deleted before the next one of the same name is created.
_RECREATED = frozenset({"BeforeHookCreation"})


@dataclass(frozen=True)
class Treatment:
    """The phases in which Argo CD applies an object, and for a hook when it deletes it."""

    phases: frozenset[str]
    deleted: frozenset[str] = frozenset()


def treatment(document: Document) -> Treatment:
    """How Argo CD treats this object."""
    annotations = document["metadata"].get("annotations", {})
    own_phases = _split_list(annotations, HOOK)
    helm = _split_list(annotations, HELM_HOOK)
    if own_phases == ["Skip"]:
        return Treatment(frozenset({SYNC}))
    if not own_phases and (not helm or helm == ["crd-install"]):
        return Treatment(frozenset({SYNC}))
    phases = own_phases or [_HELM_PHASES[word] for word in helm if word in _HELM_PHASES]
    deleted = [
        *_split_list(annotations, DELETE_POLICY),
        *(
            _HELM_DELETE_POLICIES.get(word, "")
            for word in _split_list(annotations, HELM_DELETE_POLICY)
        ),
    ]
    return Treatment(frozenset(phases), frozenset(filter(None, deleted)) or _RECREATED)


def _split_list(annotations: dict[str, str], name: str) -> list[str]:
    return [word.strip() for word in annotations.get(name, "").split(",") if word.strip()]
