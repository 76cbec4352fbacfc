import type { CodeTable } from './entry.ts';

/** What sidecar, operator and collector say when they cannot do their work. */
export const RUNTIME_CODES = {
  OperatorUnreachable: {
    audience: ['platform', 'operator'],
    what: 'The sidecar cannot reach the operator.',
    why: 'It has no policy yet; the agent waits rather than start ungoverned.',
    fix: 'See whether the operator’s pods are ready and a NetworkPolicy lets the agents’ namespace reach port 8443.',
    retry: 'try-later',
    example:
      'chaperone-sidecar: operator chaperone-operator.chaperone-system.svc:8443 did not answer in 60 s (the operator cannot be reached); the agent waits rather than start ungoverned (OperatorUnreachable)',
  },
  EnrolmentRefused: {
    audience: ['operator'],
    what: 'The operator does not take this pod for a governed one.',
    why: 'The pod is older than the opt-in, its containers differ from the profile, or its token is another pod’s.',
    fix: 'Delete the pod, so that it is admitted anew.',
    retry: 'do-not-retry',
    example:
      'pod agents/bot-x2v started before its namespace was governed; delete it so that it is admitted anew (EnrolmentRefused)',
  },
  PodNotGoverned: {
    audience: ['platform', 'operator'],
    what: 'The pod’s namespace does not opt in, or the pod is older than its opt-in.',
    why: 'What was admitted ungoverned may hold what an agent must not have; it gets neither policy nor credentials.',
    fix: 'Label the namespace chaperone.dev/inject=enabled, then delete the pod, so that it is admitted anew.',
    retry: 'do-not-retry',
    example: 'pod agents/bot-x2v is older than the opt-in of its namespace; delete it, so that it is made anew (PodNotGoverned)',
  },
  PodNotInjected: {
    audience: ['platform', 'operator'],
    what: 'The pod does not carry the containers and volumes of this release of Chaperone or the one before.',
    why: 'Whatever else asks for policy and credentials in its name is no sidecar.',
    fix: 'Delete the pod, so that it is injected anew; if it happens again, find what changes pods after injection.',
    retry: 'do-not-retry',
    example:
      'pod agents/bot-x2v does not carry the containers and volumes of a known release; delete it, so that it is injected anew (PodNotInjected)',
  },
  SidecarNotReady: {
    audience: ['platform', 'operator'],
    what: 'The sidecar has started and cannot let the agent in yet.',
    why: 'The agent starts once its policy is there and the ports of its resources are listened on.',
    fix: 'Read kubectl logs POD -c chaperone-sidecar; it says what it waits for.',
    retry: 'try-later',
    example:
      'chaperone-sidecar has asked for no policy in 60 s; the agent waits rather than start ungoverned: kubectl logs bot-x2v -c chaperone-sidecar -n agents',
  },
  CaptureNotInstalled: {
    audience: ['operator'],
    what: 'The rules that capture the agent’s traffic could not be installed.',
    why: 'Without them the agent would be free, so the pod does not start.',
    fix: 'Give the node nf_tables; see the log of chaperone-init.',
    retry: 'try-later',
    example: 'node n2 has no nf_tables; load the module (CaptureNotInstalled)',
  },
  CaptureNotProven: {
    audience: ['operator'],
    what: 'The self-check found a way around the sidecar, or could not be made.',
    why: 'The agent starts only once its own connections were seen to be refused.',
    fix: 'Delete the pod; if it happens again, see the log of chaperone-verify and the node’s network plugin.',
    retry: 'do-not-retry',
    example: 'pod support-agent-6d9 reached 192.0.2.1:80 past its sidecar; the agent was not started (CaptureNotProven)',
  },
  SpoolUnusable: {
    audience: ['operator'],
    what: 'The spool cannot be read or written.',
    why: 'Evidence waits there until the collector has it; sessions are refused meanwhile.',
    fix: 'See the volume chaperone-spool of the pod and the disk of its node.',
    retry: 'try-later',
    example: 'chaperone-sidecar: the spool cannot be read or written (ENOSPC) (SpoolUnusable)',
  },
  NotLeader: {
    audience: ['operator'],
    what: 'This replica of the operator does not lead.',
    why: 'One replica decides; the others serve admission.',
    fix: 'Nothing to mend; sidecars try the next replica by themselves.',
    retry: 'try-later',
    example: 'this replica does not lead; try again through the Service (NotLeader)',
  },
  ConfigurationInvalid: {
    audience: ['operator'],
    what: 'A setting of the program is missing or cannot be read.',
    why: 'It does not start with half of what it needs.',
    fix: 'Mend the setting that the message names, in the Helm values.',
    retry: 'change-it',
    example: 'CHAPERONE_ADDRESSES is not an IPv4 range; write one such as 240.240.0.0/16 (ConfigurationInvalid)',
  },
  IndexDamaged: {
    audience: ['operator', 'platform'],
    what: 'The index of the collector is no index, or damaged.',
    why: 'It was put aside as index.sqlite.damaged and built again from the stored segments, which are the evidence.',
    fix: 'Nothing to mend; find out what wrote to the file, or whether the disk fails.',
    retry: 'none',
    example: 'the index is damaged; it is put aside and built again from the objects (IndexDamaged)',
  },
  IndexUnreadable: {
    audience: ['operator', 'platform'],
    what: 'The index of the collector can be neither opened nor made anew.',
    why: 'Without it no session is found and no evidence taken in; what is stored stays as it is.',
    fix: 'Mend what the message names (permissions, the disk, a second collector). To have it built again, remove index.sqlite.',
    retry: 'change-it',
    example: 'the index shop-data/evidence/index.sqlite cannot be opened: unable to open database file (IndexUnreadable)',
  },
  InternalFault: {
    audience: ['operator', 'agent'],
    what: 'Chaperone met something it did not expect.',
    why: 'A fault of ours ends the session; it never opens a way around.',
    fix: 'Report it with the log line that carries the same reference.',
    retry: 'try-later',
    example: 'chaperone: an internal fault ended this session (InternalFault). Try later: it is not the fault of the statement.',
    postgres: { sqlstate: '57P01', severity: 'FATAL' },
  },
} as const satisfies CodeTable;
