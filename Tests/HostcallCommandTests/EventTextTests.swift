import HostcallFunctions
import Testing

@testable import hostcall

@Suite("Events as text")
struct EventTextTests {
  @Test func aLineForPeopleIsOneLineAndHarmless() {
    #expect(EventText.line(HostcallEvent(name: "door.opened")) == "door.opened")
    #expect(EventText.line(HostcallEvent(name: "a", payload: Array("x\ny\u{1b}[1m\n".utf8))) == "a x | y?[1m")
    #expect(EventText.line(HostcallEvent(name: "a", payload: [0xff, 0xfe])) == "a 2 bytes, encoding raw")
    #expect(EventText.line(HostcallEvent(name: "a", payload: [1], encoding: .cbor)) == "a 1 bytes, encoding cbor")
  }

  @Test func aLineForScriptsHasEverything() throws {
    let event = HostcallEvent(
      name: "door.opened", payload: Array("fr\"ont\n".utf8), encoding: .json, metadata: ["k": "v"], place: 7,
      droppedBefore: 3, followsGap: true)
    #expect(
      try EventText.json(event)
        == #"{"droppedBefore":3,"encoding":"json","followsGap":true,"metadata":{"k":"v"},"name":"door.opened","#
        + #""payload":"fr\"ont\n","place":7}"#)
    let bytes = HostcallEvent(name: "a", payload: [0xff, 0x00])
    #expect(
      try EventText.json(bytes)
        == #"{"droppedBefore":0,"encoding":"raw","followsGap":false,"metadata":{},"name":"a","payloadBase64":"/wA=","#
        + #""place":1}"#)
  }

  @Test func whatIsLostIsTold() {
    #expect(EventText.lost(HostcallEvent(name: "a")) == nil)
    #expect(
      EventText.lost(HostcallEvent(name: "a", droppedBefore: 1)) == "1 event was dropped: they are read too slowly")
    #expect(
      EventText.lost(HostcallEvent(name: "a", droppedBefore: 12, followsGap: true))
        == "events may be missing: the connection was lost; 12 events were dropped: they are read too slowly")
  }
}
