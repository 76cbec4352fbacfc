import type { EndRequest, LookedRequest, Question, ReleaseRequest, RequestView } from '@chaperone/policy';

/** Nobody can be asked, or what was asked is not known any more. */
export class ApprovalError extends Error {
  override readonly name = 'ApprovalError';
  /** Unreachable: whoever decides does not answer; another try may help. */
  readonly code: 'ApprovalUnavailable' | 'RequestUnknown' | 'Unreachable';
  constructor(code: ApprovalError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Where people are asked: the operator in a cluster, this very process in embedded mode. */
export interface Approvals {
  /**
   * Asks people to approve an action; asking twice under one name is asking once. What it answers with may be another request of
   * this agent, which is for the very same action.
   * @throws ApprovalError
   */
  ask(question: Question): Promise<RequestView>;
  /** Tells what an action would meet that people were asked about; where that is known, or they are done, it changes nothing. @throws ApprovalError */
  looked(told: LookedRequest): Promise<void>;
  /** Lets an approved action run: once. State Released in the answer means that it runs now; any other that it does not. @throws ApprovalError */
  release(request: ReleaseRequest): Promise<RequestView>;
  /** Tells how it ended. @throws ApprovalError */
  ended(end: EndRequest): Promise<void>;
  /** Calls whenever a request of this agent changed. */
  onChange(listener: (view: RequestView) => void): void;
}
