import { FakeApi } from './fake';
export class TauriApi extends FakeApi {
  constructor() {
    super('healthy');
  }
}
