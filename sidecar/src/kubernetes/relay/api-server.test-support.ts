export { type ApiServer, hasApiServer, KUBECTL, startApiServer } from '@chaperone/testing';
