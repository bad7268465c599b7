package hostcall_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"hostcall"
)

// A worker and a caller, which mostly are two programs.
func Example() {
	ctx := context.Background()
	client, err := hostcall.Connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	_, err = client.Handle("upper", func(ctx context.Context, request *hostcall.Request) ([]byte, error) {
		return []byte(strings.ToUpper(request.Text())), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	reply, err := client.Call(ctx, "upper", []byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Text())
	// Output: HELLO
}

func ExampleClient_Call() {
	client, err := hostcall.Connect(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err = client.Call(ctx, "token.fetch", []byte("alice"))
	fmt.Println(errors.Is(err, hostcall.NotFound), err)
	// Output: true token.fetch: NOT_FOUND from the daemon: nobody has registered it
}

func ExampleCallJSON() {
	ctx := context.Background()
	client, err := hostcall.Connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	type user struct{ Name string }
	_, err = hostcall.HandleJSON(client, "user.find", func(_ context.Context, id int) (user, error) {
		return user{fmt.Sprintf("user %d", id)}, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	found, err := hostcall.CallJSON[user](ctx, client, "user.find", 7)
	fmt.Println(found.Name, err)
	// Output: user 7 <nil>
}

func ExampleClient_Stream() {
	ctx := context.Background()
	client, err := hostcall.Connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	_, err = client.Handle("words", func(ctx context.Context, request *hostcall.Request) ([]byte, error) {
		for _, word := range strings.Fields(request.Text()) {
			if err := request.Send(ctx, []byte(word)); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	stream, err := client.Stream(ctx, "words", []byte("one two three"))
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()
	for stream.Next() {
		fmt.Println(stream.Item().Text())
	}
	fmt.Println(stream.Err())
	// Output:
	// one
	// two
	// three
	// <nil>
}

func ExampleClient_Subscribe() {
	ctx := context.Background()
	client, err := hostcall.Connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	subscription, err := client.Subscribe(ctx, "door.*")
	if err != nil {
		log.Fatal(err)
	}
	defer subscription.Close()
	if _, err := client.Publish(ctx, "door.opened", []byte("front")); err != nil {
		log.Fatal(err)
	}
	if subscription.Next() {
		fmt.Println(subscription.Event().Name, subscription.Event().Text())
	}
	// Output: door.opened front
}
