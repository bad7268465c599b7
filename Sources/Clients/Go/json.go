package hostcall

import (
	"context"
	"encoding/json"
)

// CallJSON calls a host function with the argument as JSON, and decodes its result.
//
//	user, err := hostcall.CallJSON[User](ctx, client, "user.find", Query{Name: "alice"})
//
// Errors: those of [Client.Call]; Serialization where argument or result cannot be encoded or decoded.
func CallJSON[Result any](
	ctx context.Context, client *Client, name string, argument any, options ...CallOption,
) (Result, error) {
	var result Result
	payload, err := json.Marshal(argument)
	if err != nil {
		return result, &Error{
			Status: Serialization, Function: name, cause: err,
			Message: "the argument cannot be encoded: " + err.Error(),
		}
	}
	reply, err := client.Call(ctx, name, payload, append([]CallOption{WithEncoding(JSONEncoding)}, options...)...)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(reply.Payload, &result); err != nil {
		return result, &Error{
			Status: Serialization, Function: name, CorrelationID: reply.CorrelationID, cause: err,
			Message: "the result is not what it should be: " + err.Error(),
		}
	}
	return result, nil
}

// HandleJSON serves a host function whose argument and result are JSON. An argument that is not what it should be ends
// the call with SERIALIZATION. Options and errors are those of [Client.Handle].
func HandleJSON[Argument, Result any](
	client *Client, name string, handler func(ctx context.Context, argument Argument) (Result, error),
	options ...HandleOption,
) (*Registration, error) {
	if handler == nil {
		return nil, noHandler(name)
	}
	return client.HandleReply(name, func(ctx context.Context, request *Request) (*Reply, error) {
		var argument Argument
		if err := request.JSON(&argument); err != nil {
			return nil, err
		}
		result, err := handler(ctx, argument)
		if err != nil {
			return nil, err
		}
		return JSONReply(result)
	}, options...)
}

// JSONReply is a value as the result of a [ReplyHandler]. Errors: a *[Failure] with Serialization.
func JSONReply(value any) (*Reply, error) {
	payload, err := json.Marshal(value)
	if err != nil {
		return nil, &Failure{
			Status: Serialization, Payload: []byte("the result cannot be encoded: " + err.Error()),
		}
	}
	return &Reply{Payload: payload, Encoding: JSONEncoding}, nil
}
